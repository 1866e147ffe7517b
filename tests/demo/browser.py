"""The page as a visitor uses it, by selenium."""

import json
import time
from pathlib import Path

# Seconds: a page on a busy machine is slow, and a loaded one answers at once.
PATIENCE = 600


class Demo:
    """A page in a browser.

    Args:
        driver: Of selenium.
        address: Where the page is served.
        page: Its folder.
    """

    def __init__(self, driver, address: str, page: Path):
        self.driver, self.address, self.page = driver, address, page

    def run(self, code: str, *arguments):
        """The value of a JavaScript expression."""
        return self.driver.execute_script(f"return {code}", *arguments)

    def wait(self, code: str):
        """The value of an expression when it is true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.run(code)):
            assert time.monotonic() < end, f"{code} stayed {value!r}; console: {self.driver.get_log('browser')}"
            time.sleep(0.1)
        return value

    def open(self, tab: str, state: str = "ready"):
        """Load the page anew with a tab, and wait for it."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.address}#{tab}")
        self.wait(f"document.documentElement.dataset.{tab} === {state!r}")

    def text(self, selector: str) -> str:
        """The text of an element."""
        return self.run("document.querySelector(arguments[0]).textContent", selector)

    def set(self, selector: str, value: str):
        """Type into a field."""
        code = "(node => { node.value = arguments[1]; node.dispatchEvent(new Event('input', {bubbles: true})) })"
        self.run(f"{code}(document.querySelector(arguments[0]))", selector, value)

    def click(self, selector: str):
        """Click an element."""
        self.run("document.querySelector(arguments[0]).click()", selector)

    def press(self, *keys: str):
        """Press keys where the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def size(self, width: int, height: int, mobile: bool):
        """Another screen."""
        settings = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", settings)

    def network(self, online: bool = True, blocked: tuple[str, ...] = ()):
        """Without a network, or without some addresses of it."""
        limits = {"offline": not online, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(blocked)})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", limits)

    def forget(self):
        """Delete what the browser has kept."""
        origin = self.address.rstrip("/")
        kinds = "cache_storage,service_workers"
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": kinds})
        self.driver.execute_cdp_cmd("Network.clearBrowserCache", {})

    def drop(self, selector: str, name: str, content: str):
        """Let go of a text file above an element."""
        code = """const data = new DataTransfer();
            data.items.add(new File([arguments[2]], arguments[1]));
            const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
            document.querySelector(arguments[0]).dispatchEvent(event);"""
        self.driver.execute_script(code, selector, name, content)

    @property
    def catalogue(self) -> dict:
        """The page's list of models."""
        return json.loads((self.page / "catalogue.json").read_text())
