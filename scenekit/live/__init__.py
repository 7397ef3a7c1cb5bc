"""Any scene in the browser, while it trains or after."""
