/**
 * Plays one scenario with the JavaScript client: `node node_driver.mjs ENTRY`, with lines of JSON; README.md says which.
 *
 * ENTRY is the client's module: a test may name an altered copy.
 */

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { play } from "./scenario.mjs";

const module = await import(pathToFileURL(process.argv[2]));

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const hear = async () => JSON.parse((await lines.next()).value);
const host = {
  open: (gate) => say({ open: gate }),
  log: async () => {
    say({ log: true });
    return (await hear()).log;
  },
};

say({ ready: true });
const played = await play(module, await hear(), host);
process.stdout.write(`${JSON.stringify({ played })}\n`, () => process.exit(0));
