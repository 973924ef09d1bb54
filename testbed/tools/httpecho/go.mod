module mesher.io/testbed/tools/httpecho

go 1.26.0
