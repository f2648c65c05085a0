// What to do first, where nothing was indexed yet.
import { build, gallery, link } from "./base.js";

export function emptyGallery({ galleries, pages }) {
  const element = build(`
    <section class="empty">
      <h2 data-text="empty.title"></h2>
      <p data-text="empty.what"></p>
      <div class="actions" data-role="admin"><a class="primary" data-text="empty.here"></a></div>
      <p data-text="empty.index"></p><code class="command index"></code>
      <p data-text="empty.demo"></p><code class="command">reidapp demo</code>
      <button type="button" class="quiet" data-text="empty.again"></button>
    </section>`);
  const { path } = galleries.find(({ name }) => name === gallery) ?? galleries[0];
  element.querySelector("a").href = link(pages.indexing);
  element.querySelector(".index").textContent = `reidapp index FOLDER --gallery ${path}`;
  element.querySelector("button").addEventListener("click", () => location.reload());
  return element;
}
