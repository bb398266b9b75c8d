// A ttisal door, the lattice of a hanok: upright bars, and three bands of cross-bars. Drawn, so that it is sharp
// at any size and takes the colours around it.
interface Props { width: number; height: number; columns?: number; className?: string }

export function Lattice({ width, height, columns = 9, className }: Props) {
  const step = width / columns;
  const bar = step * 0.62;
  const bands = [0.12, 0.5, 0.88].flatMap((at) => {
    const count = at === 0.5 ? 7 : 5;
    return Array.from({ length: count }, (_, i) => height * at + (i - (count - 1) / 2) * bar);
  });
  return (
    <svg viewBox={`-1 -1 ${width + 2} ${height + 2}`} className={className} fill="none" stroke="currentColor" aria-hidden="true" preserveAspectRatio="xMidYMid slice">
      <rect width={width} height={height} strokeWidth="2" />
      {Array.from({ length: columns - 1 }, (_, i) => <path key={i} d={`M${(i + 1) * step} 0V${height}`} strokeWidth="1" />)}
      {bands.map((y) => <path key={y} d={`M0 ${y}H${width}`} strokeWidth="1" />)}
    </svg>
  );
}

/** The mark: a roof's eaves over a beam. */
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true">
      <path d="M2.5 15.5C8 15 13 12 16 6c3 6 8 9 13.500 9.500" stroke="var(--giwa)" strokeWidth="3" strokeLinecap="round" strokeLinejoin="round" />
      <path d="M7 20.500h18" stroke="var(--seokganju)" strokeWidth="2.400" strokeLinecap="round" />
      <path d="M10 20.500v6M22 20.500v6" stroke="var(--giwa)" strokeWidth="2.400" strokeLinecap="round" />
    </svg>
  );
}

/** The five colours of the painted eaves, as a hair line. */
export function Dancheong({ className }: { className?: string }) {
  return (
    <div className={`flex h-[3px] ${className ?? ""}`} aria-hidden="true">
      {["bg-cheong", "bg-noerok", "bg-hwang", "bg-seokganju", "bg-giwa"].map((c) => <span key={c} className={`flex-1 ${c}`} />)}
    </div>
  );
}
