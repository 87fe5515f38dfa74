/** A page that shows how the connection is: rendered on Node as on a server (`node FILE` prints it), or hydrated in a browser. */

import { Client } from "@holdfast/client";
import { HoldfastProvider, useConnection } from "@holdfast/client/react";
import { ChatView } from "@holdfast/client/view";
import { createElement as h } from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";

const State = () => h("p", null, useConnection().name);
const view = new ChatView(new Client({ urls: ["https://chat.example.com"], token: "token" }));
const page = h(HoldfastProvider, { view }, h(State));

if (typeof document === "undefined") console.log(renderToString(page));
else {
  globalThis.WebSocket = class {
    close() {}
  };
  globalThis.mistakes = [];
  view.start(); // before React is there: the state is another one than the server's already
  globalThis.before = view.connection().name;
  hydrateRoot(document.querySelector("main"), page, { onRecoverableError: (error) => globalThis.mistakes.push(error.message) });
}
