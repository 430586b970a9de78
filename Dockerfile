# Dependabot updates the digest of 3.11-slim.
FROM python:3.11-slim@sha256:9534e5a8e315485d4061ed659af0fd78a284c015f9b73661b41d6bab25604534

LABEL org.opencontainers.image.title="VED" \
      org.opencontainers.image.description="Warm-start vision encoder-decoder checkpoints and publish them to the Hugging Face Hub" \
      org.opencontainers.image.source="https://github.com/ved-action/ved" \
      org.opencontainers.image.licenses="Apache-2.0"

# A release sets it. Python then validates bytecode by the hash of its source instead of its time, so
# two builds give the same image.
ARG SOURCE_DATE_EPOCH

# Flax requires orbax-checkpoint, for training. VED never imports it, and with its own requirements it
# is a tenth of the image.
COPY requirements/run.txt /opt/ved/requirements.txt
RUN python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
        --disable-pip-version-check --root-user-action ignore --requirement /opt/ved/requirements.txt \
    && python -m pip uninstall --yes --quiet --root-user-action ignore \
        orbax-checkpoint tensorstore uvloop setuptools wheel pip

COPY LICENSE entrypoint.py /opt/ved/
COPY ved /opt/ved/ved

# Only root can write the runner's files, so the image has no other user.
# -I: nothing is imported from the workspace or from variables that a workflow sets.
ENTRYPOINT ["python", "-I", "/opt/ved/entrypoint.py"]
