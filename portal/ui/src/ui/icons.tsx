// A small set of our own, drawn on 16 units with one stroke: beams and tiles, no fills.
const paths = {
  home: "M1.500 8C4.500 7.500 6.700 5.700 8 3c1.300 2.700 3.500 4.500 6.500 5M4 8.500V13.500h8V8.500",
  server: "M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5h.01M5 11h.01",
  image: "M2.500 2.500h11v11h-11zM2.500 10.500l3.200-3.200 3 3 1.800-1.800 3 3",
  key: "M9.500 6.500a3 3 0 1 0-2.200 2.900L8.500 10.500H10V12h1.500v1.500H14V11L9.400 7.300",
  network: "M8 2.500v3M8 10.500v3M2.500 8h3M10.500 8h3M5.500 5.500h5v5h-5z",
  floating: "M8 13.500V6M4.500 9.500 8 6l3.500 3.500M3 2.500h10",
  shield: "M8 2 3 4v4c0 3 2 5 5 6 3-1 5-3 5-6V4z",
  topology: "M6 2.500h4v3H6zM2 10.500h4v3H2zM10 10.500h4v3h-4zM8 5.500V8M4 10.500V8h8v2.500",
  team: "M6 7.500a2.300 2.300 0 1 0 0-4.600 2.300 2.300 0 0 0 0 4.600M1.800 13c.3-2.300 2-3.500 4.200-3.500S9.900 10.700 10.200 13M10.500 3.200a2.200 2.200 0 0 1 0 4.200M11.800 9.800c1.300.5 2.200 1.600 2.400 3.200",
  quota: "M2.500 13.500v-11M2.500 13.500h11M5.500 11V8M8.500 11V5M11.500 11V7",
  access: "M3 7.500h10v6H3zM5 7.500V5.500a3 3 0 0 1 6 0v2M8 10v1.500",
  fleet: "M1.500 6.500C5 6 7 4.500 8 2.500c1 2 3 3.500 6.500 4M3.500 9h9M3.500 11.500h9M3.500 14h9",
  host: "M2.500 2.500h11v8h-11zM6 13.500h4M8 10.500v3",
  machine: "M4.500 1.500h7v13h-7zM6.500 4h3M6.500 6h3M8 11.500h.01",
  rack: "M3 1.500h10v13H3zM3 5.800h10M3 10.200h10M5.500 3.700h.01M5.500 8h.01M5.500 12.300h.01",
  zone: "M2 2.500h5v5H2zM9 2.500h5v5H9zM2 9.500h5v4H2zM9 9.500h5v4H9z",
  wire: "M2 8h3M11 8h3M5 5.500h6v5H5zM7 5.500V3M9 5.500V3M7 13v-2.500M9 13v-2.500",
  jobs: "M8 2v3M8 11v3M2 8h3M11 8h3M3.800 3.800l2.100 2.100M10.100 10.100l2.100 2.100",
  audit: "M3.500 2h7l2 2v10h-9zM6 6.500h4M6 9h4M6 11.500h2.500",
  project: "M2 4.500h4.500l1.500 1.500h6v7.500H2z",
  flavor: "M2.500 10.500h4v3h-4zM2.500 6.500h11M2.500 2.500h11v11",
  settings: "M2 4.500h7M12 4.500h2M2 11.500h2M7 11.500h7M9 2.800h3v3.400H9zM4 9.800h3v3.400H4z",
  doctor: "M2 8h3l1.500-4 3 8L11 8h3",
  search: "M7 11.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9M10.500 10.500 14 14",
  plus: "M8 3v10M3 8h10",
  more: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  check: "M3 8.500 6.500 12 13 4.500",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M4 6l4 4 4-4",
  right: "M6 4l4 4-4 4",
  left: "M10 4 6 8l4 4",
  up: "M4 10l4-4 4 4",
  copy: "M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3",
  sun: "M8 10.800a2.800 2.800 0 1 0 0-5.600 2.800 2.800 0 0 0 0 5.600M8 1.500v1.500M8 13v1.500M1.500 8H3M13 8h1.500M3.400 3.400l1 1M11.600 11.600l1 1M12.600 3.400l-1 1M4.400 11.600l-1 1",
  moon: "M13 9.500A5.500 5.500 0 0 1 6.500 3 5.500 5.500 0 1 0 13 9.500",
  globe: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M2 8h12M8 2c2 2 2.500 4 2.500 6S10 12 8 14c-2-2-2.500-4-2.500-6S6 4 8 2",
  menu: "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
  out: "M6.500 2.500h-4v11h4M10 5l3 3-3 3M13 8H6",
  play: "M4.500 3v10l8-5z",
  stop: "M4 4h8v8H4z",
  again: "M13 8a5 5 0 1 1-1.500-3.500M13 2v3h-3",
  trash: "M3 4.500h10M6 4.500V2.500h4v2M4.500 4.500l.5 9h6l.5-9",
  terminal: "M2 3h12v10H2zM4.500 6l2 2-2 2M8.500 10.500h3",
  screen: "M2 3h12v8H2zM5.500 13.500h5",
  upload: "M8 10.500v-8M4.500 6 8 2.500 11.500 6M2.500 10.500v3h11v-3",
  download: "M8 2.500v8M4.500 7 8 10.500 11.500 7M2.500 10.500v3h11v-3",
  warn: "M8 2 1.500 13.500h13zM8 6.500v3M8 11.500h.01",
  link: "M6.500 9.500l3-3M7 4.500l1.500-1.500a3 3 0 0 1 4.500 4.500L11.500 9M9 11.500 7.500 13A3 3 0 0 1 3 8.500L4.500 7",
  camera: "M2 4.500h3l1-1.500h4l1 1.500h3v8.500H2zM8 11a2.300 2.300 0 1 0 0-4.600A2.300 2.300 0 0 0 8 11",
} as const;
export type IconName = keyof typeof paths;

export function Icon({ name, size = 16, className }: { name: IconName; size?: number; className?: string }) {
  const thick = name === "more" ? 2.2 : 1.35;
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth={thick}
      strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" className={className ? `shrink-0 ${className}` : "shrink-0"}>
      <path d={paths[name]} />
    </svg>
  );
}
