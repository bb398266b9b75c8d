// The first file of the program. A browser asks for it once only; so it is small, and asks for the rest more patiently.
import "./styles/index.css";
import { anewOnce, anewWhenThere, arrive, mendStyles, NotArrived } from "./ui/arrive";

const door = () => import("./Door");

mendStyles();
arrive(door).then(({ open }) => open(), (error: unknown) => {
  if (error instanceof NotArrived) anewWhenThere(error.url);
  else if (!anewOnce(error)) throw error;
});
