// check.mjs NODE_MODULES: reads a JSON array of diagrams from standard input, and prints one of what is wrong with each: null, or
// what mermaid says. Mermaid wants a browser's document for the labels of flow charts; jsdom is one without a window to see.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const modules = resolve(process.argv[2]);
const require = createRequire(join(modules, "from-here.js"));
const { JSDOM } = require("jsdom");
globalThis.window = new JSDOM("").window;
globalThis.document = globalThis.window.document;
const { default: mermaid } = await import(pathToFileURL(join(modules, "mermaid/dist/mermaid.core.mjs")).href);

const wrong = [];
for (const diagram of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    await mermaid.parse(diagram);
    wrong.push(null);
  } catch (error) {
    wrong.push(String(error.message));
  }
}
console.log(JSON.stringify(wrong));
