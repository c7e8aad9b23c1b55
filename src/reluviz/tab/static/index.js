// TensorBoard's entry: it imports this module into an empty page and calls render().

import { start } from "./app.js";
import { serverSource } from "./source.js";

/** Called once, by TensorBoard. */
export async function render() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = "./style.css";
  const styled = new Promise((resolve) => style.addEventListener("load", resolve, { once: true }));
  document.head.append(style);
  document.documentElement.lang = "en";
  document.body.className = "reluviz";
  await styled;
  await start(document.body, serverSource());
}
