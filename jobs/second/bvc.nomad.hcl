# A database with its data in host volumes; the image comes as an artifact.
variable "artifacts" {
  type        = string
  default     = "http://127.0.0.1:8000"
  description = "Where the image archives are served"
}

variable "shared" {
  type        = string
  default     = "/tmp/tarpan-second/shared"
  description = "A directory of the client that the task sees as /shared"
}

variable "memory" {
  type    = number
  default = 256
}

job "bvc" {
  datacenters = ["dc1"]
  type        = "service"

  group "db" {
    network {
      port "mysql" {
        static = 3307
        to     = 3306
      }
    }

    volume "mysql" {
      type   = "host"
      source = "mysql"
    }

    volume "storage" {
      type   = "host"
      source = "storage"
    }

    task "mysql" {
      driver = "docker"

      artifact {
        source = "${var.artifacts}/bvc-db.tar"
      }

      config {
        load    = "bvc-db.tar"
        image   = "tarpan.example/bvc-db:1.0"
        ports   = ["mysql"]
        volumes = ["${var.shared}:/shared"]
      }

      env {
        PTC_STORE_FILE = "/var/lib/mysql/data"
        PTC_STORE_PORT = "3306"
      }

      volume_mount {
        volume      = "mysql"
        destination = "/var/lib/mysql"
      }

      volume_mount {
        volume      = "storage"
        destination = "/storage"
      }

      resources {
        cpu    = 200
        memory = var.memory
      }
    }
  }
}
