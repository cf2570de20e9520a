// The live board: what a WebSocket through the gateway says, and how it ends when access does.
const element = (id) => document.getElementById(id);
const say = (text) => { element("state").textContent = text; };
const socket = new WebSocket(`wss://${location.host}/live`);

socket.addEventListener("open", () => say("Connected. Sign out in another tab, and the gateway closes this one."));

socket.addEventListener("message", ({ data }) => {
	const { time, here } = JSON.parse(data);
	element("time").textContent = time;
	element("here").replaceChildren(...here.map((name) => {
		const item = document.createElement("li");
		item.textContent = name;
		return item;
	}));
});

socket.addEventListener("close", ({ code }) => say(
	code === 1008 ? "Closed by the gateway (1008): access has ended." : `Closed (${code}). Load the page again to connect.`,
));
