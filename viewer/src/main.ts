// Finds the scene, in the page itself or beside it, and shows it, or says in words why not.

import "./style.css";
import { embedded, hosted, type Source } from "./loader";
import { parseManifest } from "./manifest";
import { Page, type Handle } from "./page";
import { refuse } from "./panel";

declare global {
  interface Window {
    scenekit?: Handle;
  }
}

const MANIFEST_BYTES = 8 << 20;

async function scene(): Promise<{ text: string; source: Source }> {
  const inside = document.getElementById("scene.json");
  if (inside) return { text: inside.textContent ?? "", source: embedded };
  if (location.protocol === "file:")
    throw new Error("Browsers do not let a page from disk read the files beside it; serve the folder, or export a single .html file.");
  const source = hosted(location.href);
  const bytes = await source("scene.json", MANIFEST_BYTES).catch((error: Error) => {
    throw new Error(`scene.json cannot be read: ${error.message}`);
  });
  return { text: new TextDecoder().decode(bytes), source };
}

scene()
  .then(({ text, source }) => {
    const canvas = document.getElementById("view") as HTMLCanvasElement;
    window.scenekit = new Page(canvas, parseManifest(text), source);
  })
  .catch((error: Error) => refuse(error.message));
