"""What tests are made of, shipped with the package so that authors of adapters can use it.

``contracts`` has one suite per port: an adapter is done when it passes them.
"""
