export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  button.textContent = data.label;
  button.title = data.title;
  button.onclick = async () => {
    for (const key of data.keys) {
      const name = "st-key-" + key.trim().replace(/[^a-zA-Z0-9_-]/g, "-");
      for (const chart of document.getElementsByClassName(name)) {
        chart.querySelector(".modebar-btn")?.click();
        await new Promise((done) => setTimeout(done, 300)); // browsers drop downloads that come at once
      }
    }
  };
}
