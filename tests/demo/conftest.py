"""A built page, and a browser that looks at it.

Both are skipped where something is absent: `zoo demo --output_dir build/demo` makes the page (with npm, and minutes of
exports), Debian's chromium and chromium-driver and `pip install selenium` the browser.
"""

import shutil
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from zoo.demo.build import PAGE
from zoo.demo.serve import HOST, make_server

from .browser import PATIENCE

BUILT = Path(__file__).parents[2] / "build" / "demo"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--window-size=1280,900",
)


@pytest.fixture(scope="session")
def page(tmp_path_factory) -> Path:
    """A copy of the built page with the current files of zoo/demo/page."""
    if not (BUILT / "catalogue.json").is_file():
        pytest.skip("no built page: run `zoo demo --output_dir build/demo` (needs npm and the extra onnx)")
    folder = tmp_path_factory.mktemp("demo") / "page"
    shutil.copytree(BUILT, folder)
    return Path(shutil.copytree(PAGE, folder, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def vendor() -> Path:
    """The runtime of the built page."""
    if not (BUILT / "vendor").is_dir():
        pytest.skip("no runtime: run `python -m zoo.demo.vendor build/demo/vendor` (needs npm)")
    return BUILT / "vendor"


@pytest.fixture(scope="session")
def serve():
    """A function from a folder to the address where it is served."""
    with ExitStack() as stack:

        def start(folder: Path) -> str:
            server = stack.enter_context(make_server(folder, 0))
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return f"http://{HOST}:{server.server_address[1]}/"

        yield start


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, shared: it takes seconds to start."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: run `pip install selenium`")
    from selenium.webdriver.chrome.service import Service

    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("no browser: run `apt-get install chromium chromium-driver`")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    driver.command_executor.client_config.timeout = PATIENCE
    driver.set_script_timeout(PATIENCE)
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()
