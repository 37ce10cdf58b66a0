// node compile.mjs NODE_MODULES OUTPUT: compiles ../slab.ksy to a Python module in the directory OUTPUT.
// The compiler comes as a library, and is found in the directory that `npm ci` filled.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, output] = process.argv.slice(2);
if (!output) {
  console.error("usage: node compile.mjs NODE_MODULES OUTPUT");
  process.exit(2);
}
const load = createRequire(resolve(modules, "any.js"));
const compiler = load(resolve(modules, "kaitai-struct-compiler"));
const { parse } = load(resolve(modules, "yaml"));

const description = parse(readFileSync(new URL("../slab.ksy", import.meta.url), "utf8"));
const files = await compiler.compile("python", description, null, false);
mkdirSync(output, { recursive: true });
for (const [name, text] of Object.entries(files)) writeFileSync(join(output, name), text);
