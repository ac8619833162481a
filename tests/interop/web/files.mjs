// The parts of a browser that the web client's upload plugin needs: files, and a request that uploads one.

class Request {
  upload = { addEventListener() {} };
  #listeners = {};
  #headers = {};
  open(method, url) { this.method = method; this.url = url; }
  setRequestHeader(name, value) { this.#headers[name] = value; }
  getResponseHeader(name) { return this.answer?.headers.get(name) ?? null; }
  getAllResponseHeaders() { return [...(this.answer?.headers ?? [])].map(([name, value]) => `${name}: ${value}\r\n`).join(""); }
  addEventListener(event, listener) { (this.#listeners[event] ??= []).push(listener); }
  abort() {}
  async send(body) {
    try {
      this.answer = await fetch(this.url, { method: this.method, headers: this.#headers, body });
      this.status = this.answer.status;
      this.response = this.responseText = await this.answer.text();
    } catch {
      this.status = 0;
    }
    this.readyState = 4;
    this.#tell("readystatechange");
    this.#tell(this.status ? "load" : "error");
    this.#tell("loadend");
  }
  #tell(event) {
    for (const listener of [this[`on${event}`], ...(this.#listeners[event] ?? [])]) listener?.({ target: this });
  }
}

// The plugin measures a picture by loading it; here the test gives the size of its picture.
class Picture {
  set src(_) { [this.width, this.height] = Picture.size; setTimeout(() => this.onload?.(), 0); }
}
Picture.size = [1, 1];

Object.assign(globalThis, { XMLHttpRequest: Request, Image: Picture, HTMLInputElement: class {} });
Object.assign(window, { XMLHttpRequest: Request, Image: Picture, File, Blob, FormData, URL, HTMLInputElement: globalThis.HTMLInputElement });

export { Picture };
