type Words = Record<string, readonly [en: string, ko: string]>;

/** Graphs, and what operators set up and mend. */
export const operate = {
  "metrics.title": ["Metrics", "사용량"],
  "metrics.span": ["Over how long", "기간"],
  "metrics.cpu": ["Processors ({n} {core|cores})", "프로세서 ({n}코어)"],
  "metrics.read": ["read", "읽기"],
  "metrics.write": ["written", "쓰기"],
  "metrics.in": ["in", "받음"],
  "metrics.out": ["out", "보냄"],
  "metrics.none": ["nothing yet", "아직 없음"],
  "metrics.empty": ["Nothing to show yet", "아직 보여 줄 것이 없습니다"],
  "metrics.emptyServer": ["A server that runs has its first figures within a minute.", "실행 중인 서버는 1분 안에 첫 수치가 나옵니다."],
  "metrics.emptyHost": ["A host has its first figures a minute after its agent starts.", "호스트는 에이전트가 시작하고 1분 뒤 첫 수치가 나옵니다."],
  "metrics.answered": ["{n} of {all} hosts told what they use", "호스트 {all}대 중 {n}대의 수치"],
  "fleet.load": ["Load", "부하"],
} as const satisfies Words;
