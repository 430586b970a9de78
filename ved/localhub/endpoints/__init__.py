"""The handlers of the Hub's endpoints, by topic. ved.localhub.app maps routes to them."""
