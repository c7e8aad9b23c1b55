// Sources of runs: TensorBoard's routes, or the page in which runs are embedded. Both have the same interface:
// runs() lists the runs, blob(run, kind, after) returns bytes.

/** The routes of the plugin, relative to the page's address, so that TensorBoard may run below a path prefix. */
export function serverSource() {
  const get = async (path) => {
    const answer = await fetch(path, { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `status ${answer.status}`);
    return answer;
  };
  return {
    live: true,
    runs: async () => (await (await get("./runs")).json()).runs,
    blob: async (run, kind, after) => {
      const query = new URLSearchParams({ run });
      if (after !== undefined) query.set("after", String(after));
      return (await get(`./${kind}?${query}`)).arrayBuffer();
    },
  };
}

/** Runs embedded in the page: <script type="reluviz/blob" data-run data-kind>, gzip in base64. */
export function embeddedSource(root = document) {
  const blobs = new Map();
  for (const element of root.querySelectorAll('script[type="reluviz/blob"]')) {
    const { run, kind } = element.dataset;
    if (!blobs.has(run)) blobs.set(run, new Map());
    blobs.get(run).set(kind, element);
  }
  const listing = root.querySelector('script[type="reluviz/runs"]');
  return {
    live: false,
    runs: async () => (listing ? JSON.parse(listing.textContent) : []),
    blob: async (run, kind) => {
      const element = blobs.get(run)?.get(kind);
      if (!element) throw new Error(`this page holds no ${kind} of ${run}`);
      return unpack(element.textContent);
    },
  };
}

/** The bytes of a text with a character for each. A loop is several times as fast as Uint8Array.from with a function. */
function bytesOf(text) {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function unpack(text) {
  const bytes = Uint8Array.fromBase64?.(text.trim()) ?? bytesOf(atob(text.trim()));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
