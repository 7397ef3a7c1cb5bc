// What stands around the picture. Text from outside enters as textContent only.

export interface Actions {
  bookmark(step: number): void;
  reset(): void;
  mode(): void;
  photograph(): void;
  figures(): void;
  toggle(index: number): void;
}

/** A node of the manifest as the list shows it. */
export interface Listed {
  name: string;
  kind: string;
  visible: boolean;
  index: number;
}

const KEYS =
  "drag: turn · right or two fingers: move · wheel or pinch: closer · arrows: turn · + −: closer · W A S D Q E: walk · " +
  "F: orbit or fly · N, P: next, previous camera · 1–9: camera · R: back · I: figures · C: picture · H: this help";

function make<K extends keyof HTMLElementTagNameMap>(kind: K, parent: Element, text = "", className = ""): HTMLElementTagNameMap[K] {
  const element = document.createElement(kind);
  element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

export class Panel {
  private readonly bar: HTMLElement;
  private readonly done: HTMLElement;
  private place!: HTMLElement; // made with the other controls
  private readonly figures: HTMLElement;
  private readonly help: HTMLElement;
  private readonly alert: HTMLElement;
  private readonly inside: HTMLElement;
  private readonly menu: HTMLButtonElement;
  private modeButton!: HTMLButtonElement;

  constructor(title: string, nodes: Listed[], actions: Actions) {
    const body = document.body;
    this.done = make("div", body, "", "progress");
    this.done.setAttribute("role", "progressbar");
    this.done.setAttribute("aria-label", "loading");
    this.bar = make("div", this.done);
    const panel = make("nav", body, "", "panel");
    panel.setAttribute("aria-label", "scene");
    const head = make("div", panel, "", "head");
    make("strong", head, title);
    const inside = make("div", panel);
    inside.id = "inside";
    this.inside = inside;
    this.menu = this.button(head, "☰", "show or hide the controls", () => this.open(!this.isOpen));
    this.menu.setAttribute("aria-controls", inside.id);
    // A phone's screen belongs to the scene.
    this.open(window.innerWidth >= 520 && window.innerHeight >= 320);
    this.controls(inside, actions);
    if (nodes.length > 1) this.tree(inside, nodes, actions);
    this.figures = make("pre", inside);
    this.figures.hidden = true;
    this.help = make("p", inside, KEYS);
    this.help.hidden = true;
    this.alert = make("div", body, "", "alert");
    this.alert.setAttribute("role", "alert");
    this.alert.hidden = true;
  }

  toggleFigures(): void {
    this.turn(this.figures);
  }

  toggleHelp(): void {
    this.turn(this.help);
  }

  camera(name: string): void {
    this.place.textContent = name;
  }

  mode(mode: string): void {
    this.modeButton.textContent = mode;
  }

  progress(part: number): void {
    this.done.hidden = part >= 1;
    this.done.setAttribute("aria-valuenow", String(Math.round(100 * part)));
    this.bar.style.transform = `scaleX(${part})`;
  }

  statistics(lines: string[]): void {
    if (!this.figures.hidden) this.figures.textContent = lines.join("\n");
  }

  private get isOpen(): boolean {
    return !this.inside.hidden;
  }

  private open(shown: boolean): void {
    this.inside.hidden = !shown;
    this.menu.setAttribute("aria-expanded", String(shown));
  }

  /** A key may ask for what stands in controls that are closed. */
  private turn(part: HTMLElement): void {
    part.hidden = !part.hidden && this.isOpen;
    if (!part.hidden) this.open(true);
  }

  private controls(inside: Element, actions: Actions): void {
    const cameras = make("div", inside, "", "row");
    this.button(cameras, "‹", "previous camera", () => actions.bookmark(-1));
    this.place = make("span", cameras);
    this.place.setAttribute("aria-live", "polite");
    this.button(cameras, "›", "next camera", () => actions.bookmark(1));
    this.button(cameras, "back", "back to the first view", actions.reset);
    this.modeButton = this.button(cameras, "orbit", "orbit or fly", actions.mode);
    this.button(cameras, "picture", "save a picture", actions.photograph);
    this.button(cameras, "figures", "statistics", actions.figures);
    this.button(cameras, "?", "help", () => this.toggleHelp());
  }

  private tree(panel: Element, nodes: Listed[], actions: Actions): void {
    const list = make("div", panel, "", "row");
    for (const node of nodes) {
      const label = make("label", list);
      const box = make("input", label);
      box.type = "checkbox";
      box.checked = node.visible;
      box.addEventListener("change", () => actions.toggle(node.index));
      make("span", label, `${node.name} (${node.kind})`);
    }
  }

  private button(parent: Element, text: string, label: string, act: () => void): HTMLButtonElement {
    const button = make("button", parent, text);
    button.type = "button";
    button.title = label;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", act);
    return button;
  }

  trouble(sentence: string): void {
    this.alert.hidden = false;
    this.alert.textContent = sentence;
  }
}

/** For what goes wrong before there is a panel. */
export function refuse(sentence: string): void {
  make("div", document.body, sentence, "alert").setAttribute("role", "alert");
}
