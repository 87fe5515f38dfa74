/**
 * What publint and @arethetypeswrong/core find in an archive, as JSON: `node --input-type=module - ARCHIVE`, with this file as standard
 * input, in the directory whose node_modules has both.
 */

import { readFile } from "node:fs/promises";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";

// The package is for `import` alone: what asks for CommonJS, or cannot read `exports`, is not served.
const NOT_SERVED = ["node10", "node16-cjs"];

const archive = new Uint8Array(await readFile(process.argv[2]));
const linted = await publint({ pack: { tarball: archive.buffer }, strict: true });
const typed = await checkPackage(createPackageFromTarballData(archive));
const problems = typed.problems.filter(({ resolutionKind }) => !NOT_SERVED.includes(resolutionKind));
console.log(JSON.stringify({ linted: linted.messages, problems, entries: Object.keys(typed.entrypoints) }));
