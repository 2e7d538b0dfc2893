# A shop: a web front, its store, and a nightly report.
variable "image" {
  type    = string
  default = "shop:1.4"
}
locals {
  regions = ["north", "south"]
  env     = { LEVEL = "info", MODE = "shop" }
}
job "shop" {
  datacenters = ["*"]
  meta = { owner = "team-a", "cost.center" = 7 }
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  dynamic "group" {
    for_each = local.regions
    labels   = ["web-${group.value}"]
    content {
      count = group.key + 1
      network {
        port "http" { to = 8080 }
      }
      service {
        name     = "shop-${group.value}"
        provider = "nomad"
        port     = "http"
        check {
          type     = "http"
          path     = "/health"
          interval = "10s"
          timeout  = "2s"
        }
      }
      task "serve" {
        driver = "docker"
        config {
          image = var.image
          ports = ["http"]
          mount {
            type = "tmpfs"
          }
        }
        env = local.env
        template {
          destination = "local/shop.conf"
          data        = <<-EOT
            listen = {{ env "NOMAD_PORT_http" }}
            %{ for r in local.regions ~}
            region = ${r}
            %{ endfor ~}
            EOT
        }
        resources {
          cpu    = 200
          memory = max(64, 128)
        }
      }
    }
  }
}
