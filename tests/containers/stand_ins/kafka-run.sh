#!/bin/bash
# Settings from KAFKA_… and the first format of the data by the release's own wrapper; then be the broker.
set -euo pipefail
cat >/opt/kafka/config/logging.properties <<'END'
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
END
logging=-Dlog4j2.configurationFile=/opt/kafka/config/logging.properties
if ! said=$(java "$logging" -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup \
  --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1); then
  case $said in *"already formatted"*) ;; *) echo "$said"; exit 1 ;; esac
fi
exec java ${KAFKA_HEAP_OPTS:--Xmx512m} "$logging" -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties
