// In place of `k6/websockets`, which takes headers in its third argument.
export class WebSocket extends globalThis.WebSocket {
  constructor(url, _protocols, { headers }) {
    super(url, { headers });
  }
}
