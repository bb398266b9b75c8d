import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The APIs of a running Hanok while the pages come from Vite: HANOK_URL=http://127.0.0.1:5240 npm run dev
const hanok = process.env.HANOK_URL ?? "http://127.0.0.1:5240";
const apis = ["/identity", "/compute", "/image", "/network", "/placement", "/hanok/v1"];

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "~": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2022",
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
