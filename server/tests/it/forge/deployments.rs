//! Deployments and where they are.

use serde_json::Value;
use sqlx::PgPool;
use tidegate_protocol::{ids::DeploymentId, status::DeploymentStatus};
use tidegate_server::forge::messages::Message;

use super::{Scene, all, deployment};
use crate::{github_model::Fault, support::MIGRATOR};

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_deployment_is_made_before_its_statuses(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let id = DeploymentId::new();
    for status in [
        DeploymentStatus::Deploying,
        DeploymentStatus::Verifying,
        DeploymentStatus::Failed,
        DeploymentStatus::RolledBack,
    ] {
        scene
            .enqueue(&format!("deployment:{id}:{status}"), &Message::Deployment(deployment(id, status)))
            .await;
        scene.drain().await;
    }
    scene.model.assert_clean();
    let known = scene.model.known();
    let made: Vec<_> = known.deployments.keys().copied().map(Value::from).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(known.deployments.values().next().unwrap()["environment"], "production");
    assert_eq!(all(&known.deployment_statuses, "deployment"), vec![made[0].clone(); 4]);
    assert_eq!(
        all(&known.deployment_statuses, "state"),
        ["in_progress", "in_progress", "failure", "inactive"]
    );
    assert_eq!(known.deployment_statuses[0]["environment_url"], "https://app.example.org/");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_deployment_whose_answer_was_lost_is_found_again(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let mut message = deployment(DeploymentId::new(), DeploymentStatus::Succeeded);
    message.environment_url = Some("not an url".to_owned());
    scene.model.fail(Fault::DroppedAfter);
    scene.enqueue("1", &Message::Deployment(message)).await;
    scene.drain().await;
    assert_eq!(scene.model.known().deployments.len(), 1);
    scene.skip_waits().await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(known.deployments.len(), 1, "it was not made twice");
    assert_eq!(all(&known.deployment_statuses, "state"), ["success"]);
    assert_eq!(known.deployment_statuses[0]["environment_url"], Value::Null);
}
