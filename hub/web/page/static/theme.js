import { Storage } from "./storage.js";

/** Where the choice is kept; see look.js. */
const NAME = "theme";

/** Let the user choose light or dark colours, or those of the system. Where it may, the browser keeps it. */
export function offerThemes(select) {
  const { dataset } = document.documentElement;
  const storage = new Storage(() => localStorage);
  select.value = dataset.theme;
  select.addEventListener("change", () => {
    dataset.theme = select.value;
    storage.remember(NAME, select.value === "auto" ? "" : select.value);
  });
}
