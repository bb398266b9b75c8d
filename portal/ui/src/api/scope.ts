// The project that lists are for, known outside of React as well.
let current: string | null = null;
export const project = () => current;
export const setProject = (id: string | null) => {
  current = id;
};
