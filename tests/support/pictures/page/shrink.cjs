// Writes a picture again with few colours: a third of the bytes.
const { readFileSync, writeFileSync } = require("node:fs");
const UPNG = require("upng-js");

const [path] = process.argv.slice(2);
const { buffer, byteOffset, byteLength } = readFileSync(path);
const picture = UPNG.decode(buffer.slice(byteOffset, byteOffset + byteLength));
writeFileSync(path, Buffer.from(UPNG.encode(UPNG.toRGBA8(picture), picture.width, picture.height, 96)));
