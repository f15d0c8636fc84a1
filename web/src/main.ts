// Starts the page.
import { mount } from "svelte";
import App from "./app/App.svelte";
import { startClock } from "./lib/clock.svelte";
import { startRouter } from "./lib/router.svelte";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/ansi.css";

startRouter();
startClock();

const target = document.getElementById("app");
if (target) mount(App, { target });
