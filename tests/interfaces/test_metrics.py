"""What `/metrics` shows of requests."""

from prometheus_client.parser import text_string_to_metric_families


def _samples(desk):
    text = desk.ask("GET", "/metrics").body.decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestMetrics:
    def test_count_by_operation_and_status(self, desk):
        """Successes and refusals are counted apart, what met no operation as unmatched."""
        for path in ("/health/live", "/health/live", "/v1/notes", "/nothing"):
            desk.ask("GET", path)

        samples = _samples(desk)

        name = "scudo_http_requests_total"
        assert samples[name, ("operation", "get_liveness"), ("status", "200")] == 2
        assert samples[name, ("operation", "list_notes"), ("status", "401")] == 1
        assert samples[name, ("operation", "unmatched"), ("status", "404")] == 1

    def test_sort_durations_into_growing_buckets(self, desk):
        """Every request is in the last bucket, and no bucket holds more than the next."""
        for _ in range(5):
            desk.ask("GET", "/health/live")

        samples = _samples(desk)

        of_operation = ("operation", "get_liveness")
        buckets = [
            value
            for key, value in samples.items()
            if key[0] == "scudo_http_request_seconds_bucket" and of_operation in key
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == 5
        assert samples["scudo_http_request_seconds_count", of_operation] == 5

    def test_name_no_client(self, desk):
        """Metrics carry neither paths nor tokens, whose number would be without limit."""
        desk.ask("GET", "/v1/notes/pay_0000000000000001", token="token-of-a-reader")

        text = desk.ask("GET", "/metrics").body.decode()

        assert "pay_" not in text
        assert "token" not in text
