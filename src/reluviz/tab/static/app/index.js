// TensorBoard's entry point: TensorBoard imports this module into an empty page and calls render().

import { App, start } from "./app.js";
import { serverSource } from "./source.js";

/** Put the view into the page, with its stylesheet; paths are relative to the page, not to this module. */
export async function render() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = "./style.css";
  const styled = new Promise((resolve) => style.addEventListener("load", resolve, { once: true }));
  document.head.append(style);
  document.documentElement.lang = "en";
  document.body.className = "reluviz";
  await styled;
  await start(new App(document.body, serverSource()));
}
