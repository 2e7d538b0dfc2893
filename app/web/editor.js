// The job editor: CodeMirror with HCL colours. The page tells it what is wrong with the text, and is told of every change.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { HighlightStyle, bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, openSearchPanel, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { EditorView, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { hcl } from "codemirror-lang-hcl";

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.tagName, tags.typeName, tags.definitionKeyword], color: "var(--code-block)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-str)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-num)" },
  { tag: [tags.comment, tags.lineComment, tags.blockComment], color: "var(--text-3)" },
  { tag: [tags.variableName, tags.propertyName], color: "var(--text)" },
  { tag: [tags.function(tags.variableName), tags.special(tags.variableName)], color: "var(--code-interp)" },
  { tag: [tags.punctuation, tags.operator, tags.bracket], color: "var(--text-3)" },
]);

/**
 * Opens an editor below `parent`.
 * `options`: { text, label, readOnly, onChange(text), complete(text, offset) -> Promise<JSON>, hover(text, offset) -> Promise<JSON> }.
 * Gives: { setText, setProblems(json), goTo(offset), replace([from, to, text]), focus, find, destroy }.
 */
export function open(parent, options) {
  const nonce = document.querySelector("script[nonce]")?.nonce ?? "";
  const within = (p, length) => ({ ...p, from: Math.min(p.from, length), to: Math.min(Math.max(p.to, p.from), length) });
  const extensions = [
    EditorView.cspNonce.of(nonce),
    lineNumbers(), foldGutter(), history(), indentOnInput(), bracketMatching(), closeBrackets(), indentUnit.of("  "),
    highlightActiveLine(), highlightActiveLineGutter(), highlightSelectionMatches(),
    hcl(), syntaxHighlighting(colours),
    EditorView.contentAttributes.of({ "aria-label": options.label, "aria-multiline": "true" }),
    EditorState.readOnly.of(Boolean(options.readOnly)),
    keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap, indentWithTab]),
    EditorView.updateListener.of((update) => { if (update.docChanged) options.onChange?.(update.state.doc.toString()); }),
    lintGutter(),
  ];
  if (options.complete) extensions.push(autocompletion({ override: [completions(options.complete)] }));
  if (options.hover) extensions.push(hovers(options.hover));
  const view = new EditorView({ parent, state: EditorState.create({ doc: options.text ?? "", extensions }) });
  return {
    setText(text) {
      if (text !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    setProblems(json) {
      const found = JSON.parse(json).map((p) => within(p, view.state.doc.length)).map(withAction);
      view.dispatch(setDiagnostics(view.state, found));
    },
    goTo(offset) {
      const at = Math.min(offset, view.state.doc.length);
      view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
      view.focus();
    },
    replace([from, to, insert]) {
      const { length } = view.state.doc;
      view.dispatch({ changes: { from: Math.min(from, length), to: Math.min(to, length), insert }, scrollIntoView: true });
      view.focus();
    },
    focus() { view.focus(); },
    find() { openSearchPanel(view); },
    destroy() { view.destroy(); },
  };
}

/** A finding that says what was meant offers to write it. */
function withAction(problem) {
  if (!problem.fix) return problem;
  const apply = (view, from, to) => view.dispatch({ changes: { from, to, insert: problem.fix } });
  return { ...problem, actions: [{ name: problem.fix, apply }] };
}

function completions(ask) {
  return async (context) => {
    const word = context.matchBefore(/[\w.$-]*/);
    if (!context.explicit && (!word || word.from === word.to)) return null;
    const answer = JSON.parse((await ask(context.state.doc.toString(), context.pos)) || "null");
    return answer?.length ? { from: word ? word.from : context.pos, options: answer, validFor: /^[\w-]*$/ } : null;
  };
}

function hovers(ask) {
  return hoverTooltip(async (view, pos) => {
    const answer = JSON.parse((await ask(view.state.doc.toString(), pos)) || "null");
    if (!answer) return null;
    return {
      pos: answer.from, end: answer.to, above: true,
      create() {
        const dom = document.createElement("div");
        dom.className = "popover t12";
        const title = dom.appendChild(document.createElement("div"));
        title.className = "mono";
        title.textContent = answer.title;
        const text = dom.appendChild(document.createElement("div"));
        text.textContent = answer.text;
        return { dom };
      },
    };
  });
}
