"""The page as users have it behind a reverse proxy, below a path of another site."""

from collections.abc import Callable

import pytest

from tests.small_gallery import query_crop
from tests.ui.conftest import Site
from tests.ui.proxy import proxied
from tests.ui.test_page import Visit, give, playing, search


@pytest.mark.parametrize("takes_off", [False, True])
def test_a_search_and_a_recording_below_a_path(
    small: Site, serve: Callable[..., Site], visit: Visit, takes_off: bool
) -> None:
    with proxied("/cams/reid", takes_off) as proxy:
        site = serve(small.service, proxy.public)
        assert site.behind
        proxy.behind = site.behind
        # `visit` sees that nothing is asked for beside that path, but the icon that a browser looks for by itself.
        page = visit(site, allow="favicon.ico")
        assert page.url == f"{proxy.public}/"
        give(page, query_crop("red"))
        search(page)
        page.locator(".card", has_text="Gate").first.click()
        _, ready = playing(page)
        assert ready >= 2
        clip = f"{site.address}api/v1/tracklets/{small.service.gallery.tracklets()[0].id}/clip"
        assert page.request.get(clip).headers["content-type"] == "video/mp4"
        for name in ("Browse", "Cases"):
            page.get_by_role("link", name=name).click()
            page.wait_for_selector(f".{name.lower()}.ready")
        page.fill(".fresh input", "below a path")
        page.click(".fresh button")
        page.wait_for_selector(".case h2:text-is('below a path')")
        page.get_by_role("button", name="Delete the case").click()
        page.click(".dialog .danger")
        page.wait_for_selector("text=A case keeps hits together")
