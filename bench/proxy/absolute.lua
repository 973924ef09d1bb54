-- Requests as a client sends them to a proxy: the whole URL.
wrk.path = "http://ServiceB:8080/hello"
wrk.headers["Host"] = "ServiceB:8080"
