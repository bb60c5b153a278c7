# Stands in for apache/kafka: the same release's jars from Maven, started by the image's own wrapper, which is one of them.
FROM stand-in-base
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends openjdk-21-jre-headless \
    && apt-get clean \
    && useradd --uid 1000 --create-home --shell /bin/bash appuser \
    && install -d -o appuser -g appuser /opt/kafka/config /var/lib/kafka/data /etc/kafka/docker /mnt/shared/config
COPY jars /opt/kafka/libs
COPY kafka-run.sh /etc/kafka/docker/run
USER appuser
VOLUME ["/var/lib/kafka/data"]
CMD ["bash", "/etc/kafka/docker/run"]
