# Gives the company a budget: tarpan job dispatch -meta budget="200" pytechco-setup
# The same job without Docker: the program `ptc` is found on the agent's PATH.
job "pytechco-setup" {
  type = "batch"

  parameterized {
    meta_required = ["budget"]
  }

  group "ptc-setup" {
    count = 1

    task "ptc-setup-task" {
      driver = "raw_exec"

      template {
        data        = <<EOH
{{ range nomadService "redis-svc" }}
REDIS_HOST={{ .Address }}
REDIS_PORT={{ .Port }}
{{ end }}
PTC_BUDGET={{ env "NOMAD_META_budget" }}
EOH
        destination = "local/env.txt"
        env         = true
      }

      config {
        command = "ptc"
        args    = ["setup"]
      }
    }
  }
}
