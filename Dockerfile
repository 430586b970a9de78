FROM python:3.11-slim

COPY requirements/run.txt /opt/ved/requirements.txt
RUN python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
        --disable-pip-version-check --root-user-action ignore --requirement /opt/ved/requirements.txt \
    && python -m pip uninstall --yes --quiet --root-user-action ignore setuptools wheel

COPY entrypoint.py /opt/ved/
COPY ved /opt/ved/ved

# The runner's files can be written by root alone, so there is no other user here.
ENTRYPOINT ["python", "/opt/ved/entrypoint.py"]
