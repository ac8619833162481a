// The parts of a browser that the web client needs and Node 20 lacks. The client itself is unchanged.

import { WebSocket as NodeSocket } from "ws";

const nothing = () => undefined;

// In a browser, a socket's error without a listener is followed by its close; in Node it would end the process.
class WebSocket extends NodeSocket {
  constructor(...given) {
    super(...given);
    this.on("error", nothing);
  }
}

class Storage {
  #items = new Map();
  getItem(key) { return this.#items.get(key) ?? null; }
  setItem(key, value) { this.#items.set(key, String(value)); }
  removeItem(key) { this.#items.delete(key); }
  clear() { this.#items.clear(); }
}

const window = {
  performance: globalThis.performance,
  WebSocket,
  addEventListener: nothing,
  removeEventListener: nothing,
  localStorage: new Storage(),
  location: { href: "http://127.0.0.1/", host: "127.0.0.1", hostname: "127.0.0.1", protocol: "http:" },
  setTimeout, clearTimeout, setInterval, clearInterval,
};

const define = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });

define("window", window);
define("self", window);
define("WebSocket", WebSocket);
define("localStorage", window.localStorage);
define("location", window.location);
define("navigator", { userAgent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0.0.0", language: "en", onLine: true });
define("document", {
  charset: "UTF-8",
  addEventListener: nothing,
  removeEventListener: nothing,
  hidden: false,
  visibilityState: "visible",
  createElement: () => ({ style: {}, setAttribute: nothing, appendChild: nothing }),
  head: { appendChild: nothing },
  body: { appendChild: nothing },
});

// stdout is for the line protocol; the client's log goes to stderr. `logged` is the number of its lines.
globalThis.logged = 0;
const log = (...words) => {
  globalThis.logged += 1;
  process.stderr.write(words.map(String).join(" ") + "\n");
};
Object.assign(console, { log, info: log, debug: log, warn: log, error: log });
