"""Read by Python at its start where PYTHONPATH names this folder."""

import fault_layer

fault_layer.install_from_environment()
