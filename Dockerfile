# Dependabot updates the digest of 3.13-slim.
FROM python:3.13-slim@sha256:8d9d0b8bcf6506481eae4907c18f5e3e7902e629f5f6d684f9e7c32e85e3ddf0

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
        orbax-checkpoint tensorstore uvloop pip

COPY LICENSE entrypoint.py /opt/ved/
COPY ved /opt/ved/ved

# Each run has a new container, which would compile all of VED again. Nobody changes the sources here,
# so Python need not compare the bytecode with them.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/ved/ved

# numpy's linear algebra starts a thread on each processor when numpy is imported. VED never uses it.
ENV OPENBLAS_NUM_THREADS=1

# Only root can write the runner's files, so the image has no other user.
# -I: nothing is imported from the workspace or from variables that a workflow sets.
ENTRYPOINT ["python", "-I", "/opt/ved/entrypoint.py"]
