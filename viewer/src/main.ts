// Finds the scene, in the page itself or beside it, and shows it, or says in words why not.

import "./style.css";
import { begun, embedded, hosted, type Source } from "./loader";
import { parseManifest, type Manifest } from "./manifest";
import { Page, type Handle } from "./page";
import { refuse } from "./panel";

declare global {
  interface Window {
    scenekit?: Handle;
  }
}

const MANIFEST_BYTES = 8 << 20;

async function scene(): Promise<{ manifest: Manifest; source: Source }> {
  const inside = document.getElementById("scene.json");
  if (inside) {
    const manifest = parseManifest(inside.textContent ?? "");
    return { manifest, source: embedded(manifest.nodes.flatMap((node) => node.chunks.map((chunk) => chunk.file))) };
  }
  if (location.protocol === "file:")
    throw new Error("Browsers do not let a page from disk read the files beside it; serve the folder, or export a single .html file.");
  const source = hosted(location.href);
  const bytes = await source("scene.json", MANIFEST_BYTES).catch((error: Error) => {
    throw new Error(`scene.json cannot be read: ${error.message}`);
  });
  const manifest = parseManifest(new TextDecoder().decode(bytes));
  return { manifest, source: begun(source, manifest.nodes.flatMap((node) => node.chunks)) };
}

scene()
  .then(({ manifest, source }) => {
    const canvas = document.getElementById("view") as HTMLCanvasElement;
    window.scenekit = new Page(canvas, manifest, source);
  })
  .catch((error: Error) => refuse(error.message));
