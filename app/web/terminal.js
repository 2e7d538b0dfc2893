// A terminal: xterm.js on the page, and the WebSocket of `/v1/…/exec` behind it. What is decided (when to connect, what to say) the
// page decides; here are the screen, the frames and the bounds.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";

/** Bytes that may wait to be drawn. A command that writes faster than the page draws loses the rest, and the screen says how much. */
const MOST_WAITING = 4 << 20;
/** Bytes of one frame of what is typed or pasted. */
const FRAME = 8 << 10;
/** Characters of a title that a command sets. */
const TITLE = 80;

const LIGHT = {
  black: "#24211d", red: "#a3261f", green: "#2c6a2e", yellow: "#7a5200", blue: "#1e59cd", magenta: "#8a2f7e", cyan: "#0b6670", white: "#6b665f",
  brightBlack: "#5c5750", brightRed: "#b3261e", brightGreen: "#2f7431", brightYellow: "#845900", brightBlue: "#2a63d6", brightMagenta: "#963a89", brightCyan: "#0f6e78", brightWhite: "#4a4640",
};
const DARK = {
  black: "#5c5750", red: "#ff8b80", green: "#8fd18f", yellow: "#e8c15c", blue: "#8fb4ff", magenta: "#e3a3da", cyan: "#7fd3dc", white: "#d8d3cb",
  brightBlack: "#8d877f", brightRed: "#ffa79e", brightGreen: "#a9e0a9", brightYellow: "#f2d27e", brightBlue: "#adc8ff", brightMagenta: "#eebbe6", brightCyan: "#9be2e9", brightWhite: "#ffffff",
};

/**
 * Opens a terminal below `parent`, not connected.
 * `options`: { label, help (id of its description), onKey(text) while nothing is connected, onTitle(text), onOpen(), onExit(code),
 * onClose(code, reason), onLeave() }.
 * Gives: { connect(path), hangUp(), say(text), focus(), text(), readAloud(on), destroy() }.
 */
export function open(parent, options) {
  sheet();
  plainSpans();
  const nonce = document.querySelector("script[nonce]")?.nonce ?? "";
  const term = new Terminal({
    cursorBlink: false, fontFamily: getComputedStyle(parent).fontFamily, fontSize: 13, lineHeight: 1.2, scrollback: 5000,
    minimumContrastRatio: 4.5, theme: theme(parent),
    // A link that a command writes says one thing and may lead to another: none is followed.
    linkHandler: { activate() {} },
  });
  const fit = new FitAddon();
  term.loadAddon(fit);
  withNonce(nonce, () => term.open(parent));
  term.textarea.setAttribute("aria-label", options.label);
  term.textarea.setAttribute("aria-describedby", options.help);

  let socket = null;
  let waiting = 0;
  let lost = 0;
  const send = (frame) => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame)); };
  const size = () => send({ tty_size: { height: term.rows, width: term.cols } });
  const type = (bytes) => {
    for (let at = 0; at < bytes.length; at += FRAME) send({ stdin: { data: base64(bytes.subarray(at, at + FRAME)) } });
  };
  const draw = (bytes) => {
    if (waiting + bytes.length > MOST_WAITING) { lost += bytes.length; return; }
    waiting += bytes.length;
    term.write(bytes, () => {
      waiting -= bytes.length;
      if (waiting === 0 && lost > 0) {
        term.write(`\r\n\x1b[0;2m[… ${lost} B …]\x1b[0m\r\n`);
        lost = 0;
      }
    });
  };
  const hangUp = () => {
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = null;
  };

  term.onData((text) => {
    if (socket) type(new TextEncoder().encode(text)); else options.onKey(text);
  });
  term.onBinary((text) => type(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  term.onTitleChange((title) => options.onTitle(title.slice(0, TITLE)));
  term.onResize(size);
  term.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey) return true;
    const key = event.key.toLowerCase();
    if (key === "x") { event.preventDefault(); options.onLeave(); return false; }
    if (key === "c") { event.preventDefault(); if (term.hasSelection()) void navigator.clipboard?.writeText(term.getSelection()); return false; }
    // The browser pastes.
    return key !== "v";
  });

  const refit = () => { if (parent.clientWidth > 0 && parent.clientHeight > 0) fit.fit(); };
  const watch = new ResizeObserver(() => requestAnimationFrame(refit));
  watch.observe(parent);
  const retheme = () => { term.options.theme = theme(parent); };
  const themes = new MutationObserver(retheme);
  themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", retheme);
  refit();

  return {
    connect(path) {
      hangUp();
      const line = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${path}`);
      socket = line;
      line.onopen = () => {
        send({ version: 1, auth_token: "" });
        size();
        options.onOpen();
      };
      line.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        for (const part of [frame.stdout, frame.stderr]) if (part?.data) draw(bytesOf(part.data));
        if (frame.exited) {
          hangUp();
          options.onExit(frame.result?.exit_code ?? 0);
        }
      };
      line.onclose = ({ code, reason }) => {
        if (socket === line) socket = null;
        options.onClose(code, reason);
      };
    },
    hangUp,
    /** A line of the page's own between what commands write. */
    say(text) { term.write(`\x1b[0m\x1b[?25h\r\n\x1b[2m${plain(text)}\x1b[0m\r\n`); },
    focus() { term.focus(); },
    /** What is selected, else all that is kept. */
    text() {
      if (term.hasSelection()) return term.getSelection();
      const buffer = term.buffer.active;
      const lines = Array.from({ length: buffer.length }, (_, n) => buffer.getLine(n)?.translateToString(true) ?? "");
      return lines.join("\n").trimEnd();
    },
    readAloud(on) { term.options.screenReaderMode = on; },
    destroy() {
      hangUp();
      watch.disconnect();
      themes.disconnect();
      dark.removeEventListener("change", retheme);
      term.dispose();
    },
  };
}

/** The sheet of xterm.js, beside this file; once a page. */
function sheet() {
  if (document.querySelector("link[data-terminal]")) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("./terminal.css", import.meta.url).href;
  link.dataset.terminal = "";
  document.head.append(link);
}

/** Colours of the page around it, and letters that can be read on them. */
function theme(parent) {
  const { backgroundColor: background, color: foreground } = getComputedStyle(parent);
  const light = (background.match(/\d+/g) ?? [255, 255, 255]).slice(0, 3).reduce((sum, n) => sum + Number(n), 0) > 382;
  return { ...(light ? LIGHT : DARK), background, foreground, cursor: foreground, cursorAccent: background, selectionBackground: light ? "#b9cdf5" : "#3a5694" };
}

/**
 * xterm.js writes the colours that are not in its theme into `style` attributes, which a policy refuses that allows no style without our
 * word. By the object model it is asked for no word: spans take it that way, once for the page.
 */
function plainSpans() {
  const spans = HTMLSpanElement.prototype;
  if (Object.hasOwn(spans, "setAttribute")) return;
  const set = spans.setAttribute;
  spans.setAttribute = function (name, value) { if (name === "style") this.style.cssText = value; else set.call(this, name, value); };
}

/** Runs `work`; sheets that it makes by the document itself carry the nonce. */
function withNonce(nonce, work) {
  const make = document.createElement;
  document.createElement = (...what) => {
    const element = make.apply(document, what);
    if (what[0] === "style") element.nonce = nonce;
    return element;
  };
  try { work(); } finally { delete document.createElement; }
}

/** Without what would steer the terminal. */
const plain = (text) => text.replace(/[\0-\x1f\x7f-\x9f]/g, " ");

function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
