"""Execute notebooks in another environment."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

KERNEL = "python3"


def execute(
    notebook: Path,
    interpreter: Path,
    cells: Mapping[str, str],
    folder: Path,
    variables: Mapping[str, str],
    *,
    after: Sequence[str] = (),
) -> str:
    """Execute a notebook from its first to its last cell, and return what it prints.

    Args:
        notebook: the notebook.
        interpreter: that of the environment, which has ipykernel.
        cells: replacements of cells, by tag. An empty one leaves the cell out.
        folder: an existing directory, in which the notebook runs.
        variables: environment variables.
        after: further cells of code.

    Raises:
        CellExecutionError: a cell fails.
    """
    # These take long to import, also where this is not called.
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        for tag in cell.metadata.get("tags", []):
            cell.source = cells.get(tag, cell.source)
    content.cells += [nbformat.v4.new_code_cell(cell) for cell in after]
    kernels = folder / "kernels"
    (kernels / KERNEL).mkdir(parents=True)
    command = [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": KERNEL, "language": "python"}
    (kernels / KERNEL / "kernel.json").write_text(json.dumps(specification))
    manager = AsyncKernelManager(
        kernel_name=KERNEL,
        kernel_spec_manager=KernelSpecManager(
            kernel_dirs=[str(kernels)], ensure_native_kernel=False
        ),
        connection_file=str(folder / "connection.json"),
    )
    client = NotebookClient(
        content, km=manager, timeout=600, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**variables, "IPYTHONDIR": str(folder / "ipython")})
    outputs = (output for cell in content.cells for output in cell.get("outputs", ()))
    return "".join(output.text for output in outputs if output.output_type == "stream")
