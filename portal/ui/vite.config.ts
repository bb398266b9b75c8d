import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// The APIs of a running Hanok while the pages come from Vite: HANOK_URL=http://127.0.0.1:5240 npm run dev
const hanok = process.env.HANOK_URL ?? "http://127.0.0.1:5240";
const apis = ["/identity", "/compute", "/image", "/network", "/placement", "/hanok/v1"];

/** What the first file asks for at once is on its way before it has arrived itself. */
const ahead: Plugin = {
  name: "hanok-ahead",
  transformIndexHtml: {
    order: "post",
    handler(_, { path, bundle = {} }) {
      if (path !== "/index.html") return [];
      const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
      const needed = new Set(chunks.filter((chunk) => chunk.facadeModuleId?.endsWith("/src/Door.tsx")).map((chunk) => chunk.fileName));
      for (const name of needed) chunks.find((chunk) => chunk.fileName === name)?.imports.forEach((other) => needed.add(other));
      return [...needed].map((name) => ({ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/${name}` }, injectTo: "head" as const }));
    },
  },
};

export default defineConfig({
  plugins: [react(), tailwindcss(), ahead],
  resolve: { alias: { "~": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2022",
    rolldownOptions: { input: ["index.html", "screen.html"] },
    // Fonts and pictures stay files: the content security policy of the portal takes no data: fonts.
    assetsInlineLimit: 0,
    // One file of styles: a page whose own were broken off while it came would stay without them.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: { proxy: Object.fromEntries(apis.map((path) => [path, { target: hanok, ws: true }])) },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
