/** Runs a function of the page's modules on JSON from stdin, and writes its result as JSON. */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, name] = process.argv.slice(2);
const numbers = (value) => (Number.isNaN(value) ? "NaN" : ArrayBuffer.isView(value) ? Array.from(value) : value instanceof Set ? [...value] : value);
const revive = (key, value) => (value === "NaN" ? NaN : value);
try {
  const functions = await import(pathToFileURL(module));
  const result = await functions[name](...JSON.parse(readFileSync(0, "utf8"), revive));
  process.stdout.write(JSON.stringify({ result }, (key, value) => numbers(value)));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: error.message, advice: error.advice }));
}
