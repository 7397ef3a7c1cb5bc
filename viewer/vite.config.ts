// One script, one style sheet, one page: the page also serves as the template of the single-file export, so names
// are fixed and the script is a classic one (module scripts do not load from file://). The manifest is asked for beside
// the script that reads it.
import { defineConfig, type Plugin } from "vite";

const classicScript: Plugin = {
  name: "classic-script",
  enforce: "post",
  transformIndexHtml: {
    order: "post",
    handler: (html) =>
      html
        .replace(/<script type="module" crossorigin/, "<script defer")
        .replace(/<link rel="stylesheet" crossorigin/, '<link rel="preload" href="scene.json" as="fetch" crossorigin />\n    <link rel="stylesheet"'),
  },
};

export default defineConfig({
  base: "./",
  plugins: [classicScript],
  worker: { format: "iife" },
  build: {
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      output: { format: "iife", entryFileNames: "viewer.js", assetFileNames: "viewer[extname]" },
    },
  },
});
